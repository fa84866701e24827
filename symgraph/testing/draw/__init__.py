"""Random programs, drawn instruction by instruction with NumPy's values at hand."""
