"""What input may claim, at most: each bound is asked before the memory or the time is taken.

Those that an installation may want to change are settings: classes, sides of inputs, weights of models, uploads.

None of them is near to what people have; all are what a server that many share can bear at once.
"""

#: Times the largest side of an input that images are resized to before the middle is cut out, and pixels of all then.
MAX_RESIZE, MAX_RESIZED_PIXELS = 4, 64_000_000

#: Bytes that creation arguments may make of an architecture that takes less than half of them by itself.
MAX_ENLARGED_BYTES = 300 * 1024**2

#: Bytes of the largest tensor on the way of two images through a model.
MAX_ACTIVATION_BYTES = 512 * 1024**2

#: Operations on tensors while a model is made: the deepest architectures take a quarter of it.
MAX_CONSTRUCTION_STEPS = 20_000

#: Creation arguments: letters of their text, values in them, and the size of each number but for classes and pixels.
MAX_ARGUMENT_TEXT, MAX_ARGUMENTS, MAX_ARGUMENT_NUMBER = 10_000, 1_000, 16_384

#: Entries of a checkpoint, letters of an entry's name, and bytes beyond its storage that a tensor may stand for.
MAX_ENTRIES, MAX_ENTRY_NAME, MAX_EXPANDED_BYTES = 100_000, 500, 64 * 1024**2

#: Bytes of a checkpoint's pickle, and of the header of a safetensors file.
MAX_PICKLE_BYTES, MAX_HEADER_BYTES = 32 * 1024**2, 16 * 1024**2

#: Operations of a pickle: a state dict of 100,000 entries has 2.5 millions.
MAX_PICKLE_STEPS = 3_000_000

#: Letters of a JSON text (a configuration, class names), and of one that is read as Python prints it.
MAX_JSON_TEXT, MAX_LITERAL_TEXT = 16 * 1024**2, 1024**2

#: Lists and objects inside each other.
MAX_JSON_DEPTH = 32

#: Letters of a class name, and of a line in a file of class names.
MAX_CLASS_NAME = 500

#: Bytes of an image file, of what decoding one may take, and of what all decoders of the process may at once.
MAX_IMAGE_BYTES, MAX_DECODE_BYTES, MAX_DECODE_BYTES_AT_ONCE = 512 * 1024**2, 1000 * 1024**2, 1500 * 1024**2

#: Frames of an animation, or pages, that are counted.
MAX_FRAMES = 10_000

#: Bytes of an image's colour profile.
MAX_PROFILE_BYTES = 4 * 1024**2

#: A table of labels: bytes, columns and cells.
MAX_TABLE_BYTES, MAX_TABLE_COLUMNS, MAX_TABLE_CELLS = 64 * 1024**2, 1_000, 1_200_000

#: Files of an upload, folders inside each other, letters of a name with its folders, and bytes of a zip's directory.
MAX_FILES, MAX_FOLDERS, MAX_FILE_NAME, MAX_ZIP_DIRECTORY_BYTES = 1_000_000, 64, 1_000, 24 * 1024**2
