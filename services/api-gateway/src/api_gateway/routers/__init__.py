"""The endpoints, by resource: each asks the owners and builds its answer through `schemas`."""
