@_exported import Checkpoints
@_exported import DenseTensors
@_exported import Networks
@_exported import Pipelines
@_exported import Quantization
@_exported import Sampling
@_exported import Tensors

/// The package's version.
public let fewstepVersion = "0.1.0"
