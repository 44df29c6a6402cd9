# SPDX-License-Identifier: Apache-2.0
"""The disks of new servers: from the two ways to write them in a request, and those of images.

`written` reads documents, `plan` decides what they say together, `lookups` asks the neighbours
about what they name, `made_volumes` has the volumes made that a request only describes.
"""
