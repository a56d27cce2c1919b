"""What nodes of ONNX come to: one file a family of operators, each function a rule of `lowering.RULES`.

`accelsim.importers.onnx.lower` imports all files here, so a new operator is one function with `lowering.onnx_op`.
"""
