"""A bundle: a trained network and all that is known about it, in one folder named by its digest.

It is written, verified and signed here, and never changed. Nothing here runs a network.
"""

from ml.bundle.folder import (
    Architecture,
    Bundle,
    BundleError,
    BundleExists,
    BundleFormat,
    BundleMissing,
    BundleTampered,
    Metadata,
    default_bundle_path,
    write_bundle,
)

__all__ = [
    "Architecture",
    "Bundle",
    "BundleError",
    "BundleExists",
    "BundleFormat",
    "BundleMissing",
    "BundleTampered",
    "Metadata",
    "default_bundle_path",
    "write_bundle",
]
