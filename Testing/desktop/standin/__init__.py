"""A stand-in for the desktop's ``qt``, ``ctk``, qMRML widgets and ``slicer.app``, over PySide6 and real MRML.

It keeps PythonQt's conventions, stricter than PySide6's own: properties are attributes, what a header does not expose
does not exist. It is a smoke layer and no proof of the desktop: see ``Testing/slicer`` for that.
"""
