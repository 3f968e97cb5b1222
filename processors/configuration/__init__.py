"""What the gateway is told by its configuration file.

settings  the sections and keys that may stand in the file, a class each
values    what one value may be, such as a path or the address of a web server
file      where the file is found; reading it, and the tokens that it names; what is told of what does not fit
"""
