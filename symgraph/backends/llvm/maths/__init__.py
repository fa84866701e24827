"""Formulas as vector instructions: what elementwise ops compute, on the CPU at hand.

It writes into functions of `code`, and knows neither loops nor memory.
"""
