"""Stand-ins for the default images, built where no container registry can be reached.

`names` says which image has one and costs nothing to import; `build` makes them.
"""
