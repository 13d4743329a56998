"""Serves a model with llama.cpp's own server, from its Python package, until its stdin ends:
`server.py MODEL PORT`."""

import sys

import xllamacpp

model, port = sys.argv[1], int(sys.argv[2])
params = xllamacpp.CommonParams()
params.model.path = model
params.hostnames = ["127.0.0.1"]
params.port = port
# Two slots of 1,024 tokens: small enough that a test can fill one.
params.n_ctx = 2048
params.n_parallel = 2
params.kv_unified = False
params.cpuparams.n_threads = 1
params.n_gpu_layers = 0
params.model_alias = {"noise"}
params.use_jinja = True
params.api_keys = ["sk-engine"]
server = xllamacpp.Server(params)
print("serving on", server.listening_address, flush=True)
# Whoever started it holds the other end: it cannot outlive its test.
sys.stdin.read()
