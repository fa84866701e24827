"""What is known of a graph before anything is written: views, sizes, groups, their order.

It reads graphs and writes none of a program; of `machine` it may ask which sizes are known.
"""
