<%!
from alembic import util
%>\
<%
def statements(text):
    """Leave out Alembic's frame of comments."""
    kept = [line for line in (text or "").splitlines() if not line.lstrip().startswith("# ###")]
    return "\n".join(kept).strip()

full_stop = "" if message.endswith((".", "!", "?")) else "."
file_of = config.attributes.get("file_of")
followed = [f"# follows {file_of(parent)}\n" for parent in util.to_tuple(down_revision, default=())] if file_of else []
follows = f"follows {', '.join(util.to_tuple(down_revision))}" if down_revision else "the first"
body = statements(upgrades) + statements(downgrades)
%>\
"""${message}${full_stop}

Revision ${up_revision}, ${follows}.
"""

% if "sa." in body:
import sqlalchemy as sa
% endif
% if "op." in body:
from alembic import op
% endif
% if imports:
${imports}
% endif

revision: str = ${repr(up_revision)}
${"".join(followed)}down_revision: str | tuple[str, ...] | None = ${repr(down_revision)}
branch_labels: str | tuple[str, ...] | None = ${repr(branch_labels)}
depends_on: str | tuple[str, ...] | None = ${repr(depends_on)}


def upgrade() -> None:
    """Apply this revision."""
% if statements(upgrades):
    ${statements(upgrades)}
% endif


def downgrade() -> None:
    """Take this revision back."""
% if statements(downgrades):
    ${statements(downgrades)}
% endif
