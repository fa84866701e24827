"""The native backend: graphs become machine code through LLVM."""
