"""Yours: the product's own commands.

A function with `@command` (`from infra.commands.cli import command`) is one: its docstring and the texts given to the
decorator are its help. So is any task or collection of Invoke's.
"""
