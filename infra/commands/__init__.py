"""The command line. It is the top of the house: it uses infra and schema, and neither imports it.

`cli`, `own_stack`, `program` and `tables` are what the commands share; `product` adds those of the product. Each other
module is a group of `invoke --list`, named by the first line of its docstring.
"""

import sys

# Invoke keeps Python from writing bytecode (its option --write-pyc), and each command would compile the project again.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
