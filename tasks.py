"""The commands, put together from their groups; `invoke --list` names them."""

from invoke import main
from invoke.collection import Collection

from infra.commands import isolation, migrations, operations, product, quality, stack, tenants, updates
from infra.commands.program import Commands

namespace = Collection()
for group in (stack, migrations, tenants, isolation, operations, quality, updates):
    for task in Collection.from_module(group).tasks.values():
        namespace.add_task(task)
product.add_commands(namespace)

# Invoke has its program made before it reads this file, and offers no other way to help and errors of one's own.
main.program.__class__ = Commands
