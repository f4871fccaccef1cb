"""The product against real counterparts: object stores, a security module, papermill."""
