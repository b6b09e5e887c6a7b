# One interpreter of the sandbox: these imports, then layers.py, schema.py, serve.py and nursery.py,
# one script. Python 3.9 or later; the standard library alone.

import calendar
import datetime
import enum
import gc
import importlib.util
import inspect
import json
import linecache
import os
import random
import re
import resource
import shutil
import signal
import socket
import sys
import time
import types
import typing
import warnings
from copy import deepcopy
from hashlib import sha256
from time import sleep
