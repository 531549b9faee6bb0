"""What vLLM lacks in a pod: Triton's protocol, truthful health, draining, keyed access.

Read plugin.py first: it is what vLLM loads, and it names everything else.
"""

__version__ = "0.1.0"
