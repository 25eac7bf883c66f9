#!/usr/bin/env python3
"""Draws one picture and saves it, through ctypes alone: generate.py MODEL PROMPT OUT.png

ONESTEP_LIBRARY names the shared library where the loader does not find it.
"""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int, c_size_t, c_uint64, c_void_p, sizeof


class Defaults(ctypes.Structure):
    """onestep_defaults"""
    _fields_ = [("size", c_size_t), ("width", c_int), ("height", c_int), ("multiple", c_int), ("steps", c_int),
                ("guidance", c_double), ("sampler", c_char_p), ("one_step", c_bool), ("takes_picture", c_bool)]


class Params(ctypes.Structure):
    """onestep_params"""
    _fields_ = [("size", c_size_t), ("prompt", c_char_p), ("negative", c_char_p), ("width", c_int),
                ("height", c_int), ("steps", c_int), ("timesteps", POINTER(c_int)), ("guidance", c_double),
                ("sampler", c_char_p), ("seed", c_uint64), ("noise", c_int), ("count", c_int),
                ("batch_size", c_int), ("tiling", c_bool), ("init", c_void_p), ("init_width", c_int),
                ("init_height", c_int), ("strength", c_double), ("progress", c_void_p), ("note", c_void_p),
                ("preview", c_void_p), ("preview_every", c_int), ("user", c_void_p), ("cancel", c_void_p)]


class Image(ctypes.Structure):
    """onestep_image"""
    _fields_ = [("width", c_int), ("height", c_int), ("count", c_int), ("rgb", c_void_p), ("seed", c_uint64),
                ("seconds", c_double), ("n_evaluations", c_int)]


def load():
    """The library, with the types of what is called below; functions that return a status raise on failure."""
    lib = ctypes.CDLL(os.environ.get("ONESTEP_LIBRARY", "libonestep.so.1"))
    lib.onestep_error_text.restype = c_char_p

    def check(status, _function, _arguments):
        if status:
            raise RuntimeError(lib.onestep_error_text().decode())

    for name, arguments in (("onestep_pipeline_open", [c_char_p, c_void_p, POINTER(c_void_p)]),
                            ("onestep_pipeline_defaults", [c_void_p, POINTER(Defaults)]),
                            ("onestep_pipeline_generate", [c_void_p, POINTER(Params), POINTER(POINTER(Image))]),
                            ("onestep_image_save", [POINTER(Image), c_int, c_char_p])):
        getattr(lib, name).argtypes = arguments
        getattr(lib, name).errcheck = check
    lib.onestep_params_init.argtypes = [POINTER(Params), c_size_t]
    lib.onestep_params_init.restype = None
    lib.onestep_image_free.argtypes = [POINTER(POINTER(Image))]
    lib.onestep_image_free.restype = None
    lib.onestep_pipeline_close.argtypes = [POINTER(c_void_p)]
    lib.onestep_pipeline_close.restype = None
    return lib


def main(model, prompt, out):
    lib = load()
    pipeline, image, params = c_void_p(), POINTER(Image)(), Params()
    defaults = Defaults(size=sizeof(Defaults))
    lib.onestep_params_init(byref(params), sizeof(params))
    params.prompt = prompt.encode()
    params.seed = 42
    try:
        lib.onestep_pipeline_open(os.fsencode(model), None, byref(pipeline))
        lib.onestep_pipeline_defaults(pipeline, byref(defaults))
        lib.onestep_pipeline_generate(pipeline, byref(params), byref(image))
        lib.onestep_image_save(image, 0, os.fsencode(out))
        drawn = image.contents
        print(f"{out}: {drawn.width}x{drawn.height}, sampler {defaults.sampler.decode()}, {defaults.steps} steps, "
              f"{drawn.seconds:.3f} s")
    finally:
        lib.onestep_image_free(byref(image))
        lib.onestep_pipeline_close(byref(pipeline))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} MODEL PROMPT OUT.png")
    try:
        main(*sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
