"""Neural networks on symgraph: modules, recurrent layers, losses, update rules and training."""
