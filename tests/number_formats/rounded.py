"""The parameters of a layer as a number format gives them back."""

from pyrnn._number_formats import narrow


def rounded_all(storage, parameters):
    """All parameters, those rounded that the format stores."""
    return {
        name: narrow.rounded(storage, array) if narrow.is_narrow(name, array) else array
        for name, array in parameters.items()
    }
