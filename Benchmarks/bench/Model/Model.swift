import ArgumentParser
import Fewstep
import Foundation

struct Model: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "Where a model's time goes: every layer with its time, rate and share of the machine's peak.",
    discussion: """
      Shows the fastest of the rounds. A rate counts the operations of direct evaluation: Winograd's convolutions may \
      pass the peak. What has no weights goes by the module of the layer before it.
      """)

  @OptionGroup var network: NetworkOptions

  struct Figures: Encodable {
    let machine: Machine
    let component: NetworkComponent
    let precision: Precision
    let batch: Int
    let peak: Double
    let milliseconds: Double
    let layers: [ProfileTable.Row]
    let kinds: [ProfileTable.Row]
  }

  func measure(on machine: Machine) throws {
    let peak = network.precision.format.peak(of: .measure(on: .all))
    let job = try NetworkJob(network)
    print("\(job.description), \(job.parameters) parameters, \(network.precision.rawValue)")
    print("The machine's peak is \(decimal(peak, 0)) GFLOP/s.\n")
    _ = job.forward()
    var profile = Profile.record(job.forward).profile
    for _ in 1..<network.rounds {
      let next = Profile.record(job.forward).profile
      if next.seconds < profile.seconds { profile = next }
    }
    let table = ProfileTable(profile: profile, peak: peak)
    table.printLayers()
    table.printKinds()
    let figures = Figures(
      machine: machine, component: network.component, precision: network.precision, batch: job.batch, peak: peak,
      milliseconds: 1000 * profile.seconds, layers: table.layers, kinds: table.kinds)
    try network.figures.write(figures)
  }
}
