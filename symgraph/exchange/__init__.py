"""What goes out of symgraph and comes into it: ONNX both ways, Python, native programs."""
