"""
One tenant's journal, and the state that follows from it.

`events` are what is written, `journal` is the file, `fold` is the only place that concludes, and
`state` is the form in which every door gets it. Nothing here asks a remote system.
"""
