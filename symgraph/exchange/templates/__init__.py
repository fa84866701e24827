"""Find and replace in graphs: templates, the lowering of ops by rules, sizes made known.

- `chains`: sums and products as what they are made of, in whatever order it was written;
- `matching`: a pattern, which is a graph with holes, held against a graph;
- `text`: formulas as functions of their holes;
- `views`: movements of elements that come to the same;
- `instances`: patterns as graphs, for holes of types that are found out, and `arguments`;
- `template`: `template` itself; `parts` applies rules everywhere, in the bodies of loops too;
- `lower` (with `functions`) and `sizes`: the other two things that `rewrite_graph` does.
"""
