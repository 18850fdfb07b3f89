"""Yours: further servers of the product's stack.

`services`, a list of `ServiceSpec` (`from infra.declaration.service import ServiceSpec`), declares them.
"""
