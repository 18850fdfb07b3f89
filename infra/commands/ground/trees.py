"""Trees of files as git keeps them, put together without a working tree."""

from pathlib import Path
from tempfile import TemporaryDirectory

from infra.commands.ground.git import Git

OWNED = ("schema/models/", "migrations/versions/", "tests/product/", "infra/product/")
"""Folders that are the product's, as is README.md: an update leaves them as they are."""

_NEW = "100644 blob"
Tree = dict[str, str]
"""Paths, and of each its mode, type and object as `git ls-tree` writes them."""


def read_tree(git: Git, treeish: str) -> Tree:
    """Return the files of a commit or tree, links and submodules included."""
    entries = (line.partition("\t") for line in git.names("ls-tree", "-r", "--full-tree", treeish))
    return {path: about for about, _, path in entries}


def write_tree(git: Git, tree: Tree) -> str:
    """Write a tree into the repository's objects and return its name; no index is touched."""
    with TemporaryDirectory(prefix="groundwork-index-") as folder:
        apart = Git(git.folder, {**git.environ, "GIT_INDEX_FILE": str(Path(folder, "index"))})
        lines = "".join(f"{about}\t{path}\0" for path, about in tree.items())
        apart("update-index", "-z", "--index-info", stdin=lines)
        return apart("write-tree").strip()


def with_file(git: Git, tree: Tree, path: str, text: str) -> Tree:
    """Return a tree in which a file has this text; its mode stays."""
    mode, _, _ = tree.get(path, _NEW).partition(" ")
    made = git("hash-object", "-w", "--no-filters", "--stdin", stdin=text).strip()
    return {**tree, path: f"{mode} blob {made}"}


def with_owned_of(tree: Tree, product: Tree) -> Tree:
    """Return a tree with the product's own files as the product has them."""
    return {path: about for path, about in tree.items() if not is_owned(path)} | {
        path: about for path, about in product.items() if is_owned(path)
    }


def is_owned(path: str) -> bool:
    """Return whether a file is the product's."""
    return path.startswith(OWNED) or path == "README.md"
