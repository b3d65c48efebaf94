import ArgumentParser
import Fewstep
import Foundation

struct Forward: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "Time, memory and output of a network's forward pass, for other programs to read.",
    discussion: """
      One pass warms up. The memory is the most that was resident during the passes, the program and the weights \
      included. Benchmarks/peers runs the same job in other libraries.
      """)

  @OptionGroup var network: NetworkOptions

  @Option(
    help: ArgumentHelp(
      "Inputs, in place of noise: sample, and for the UNet timestep and encoder_hidden_states.",
      valueName: "file.safetensors"))
  var input: String?

  @Option(help: ArgumentHelp("Write the output to this file, in diffusers' order.", valueName: "file.safetensors"))
  var output: String?

  struct Figures: Encodable {
    let machine: Machine
    let component: NetworkComponent
    let precision: Precision
    let batch: Int
    let milliseconds: [Double]
    let parameters: Int
    let weightBytes: Int
    /// The most that was resident during the passes; nil where the system does not tell.
    let peakBytes: Int?
  }

  func measure(on machine: Machine) async throws {
    let job = try NetworkJob(network, input: input.map { URL(filePath: $0) })
    let hasPeak = ProcessMemory.resetPeak()
    var result: DenseTensor<Float>?
    let times = await Timing.times(runs: network.rounds) { result = job.forward() }
    let figures = Figures(
      machine: machine, component: network.component, precision: network.precision, batch: job.batch,
      milliseconds: times, parameters: job.parameters,
      weightBytes: job.parameters * network.precision.bytesPerWeight, peakBytes: hasPeak ? ProcessMemory.peak : nil)
    let megabytes = figures.peakBytes.map { Double($0 - figures.weightBytes) / 1e6 }
    print("\(job.description), \(network.precision.rawValue)")
    print("\(decimal(times.min(), 1)) ms at best of \(network.rounds); \(decimal(megabytes, 0)) MB above the weights")
    if let output, let result {
      let tensor = result.shape.rank == 4 ? result.channelsFirst() : result
      try SafetensorsWriter.write(
        [.init(name: "output", shape: tensor.shape, values: .float32(tensor.elements))], to: URL(filePath: output))
    }
    try network.figures.write(figures)
  }
}
