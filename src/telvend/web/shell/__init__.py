"""What the portal and the console share: templates, forms, sessions of browsers, assets, the design.

Page authors import from here; docs/explain/portal.md says what to touch to add a page.
"""

from telvend.people.model import Role, Visitor
from telvend.web.shell.assets import Assets
from telvend.web.shell.forms import Form, Upload, read_form
from telvend.web.shell.guard import local_path
from telvend.web.shell.pages import Shell, Side, signed_in, visitor_of, with_role
from telvend.web.shell.rendering import Templates

__all__ = [
    "Assets",
    "Form",
    "Role",
    "Shell",
    "Side",
    "Templates",
    "Upload",
    "Visitor",
    "local_path",
    "read_form",
    "signed_in",
    "visitor_of",
    "with_role",
]
