import Fewstep

/// A profile as tables: by layer, and summed up by kind.
struct ProfileTable {
  struct Row: Encodable {
    let layer: String
    let kind: String
    let shape: String
    var milliseconds: Double
    /// Of the whole run's time.
    var share: Double
    var gigaflop: Double
    /// GFLOP/s; nil where nothing is multiplied.
    var rate: Double? { gigaflop > 0 ? 1000 * gigaflop / milliseconds : nil }
  }

  let layers: [Row]
  let kinds: [Row]
  private let peak: Double

  /// - Parameter peak: of the machine, in GFLOP/s.
  init(profile: Profile, peak: Double) {
    self.peak = peak
    func row(_ layers: [Profile.Layer], name: String, kind: String, shape: String) -> Row {
      let seconds = layers.reduce(0) { $0 + $1.seconds }
      return Row(
        layer: name, kind: kind, shape: shape, milliseconds: 1000 * seconds, share: seconds / profile.seconds,
        gigaflop: layers.reduce(0) { $0 + $1.operations } / 1e9)
    }
    layers = profile.layers.map { row([$0], name: $0.name, kind: $0.kind.rawValue, shape: $0.shape) }
    let rest = profile.seconds - profile.layers.reduce(0) { $0 + $1.seconds }
    kinds =
      Profile.Kind.allCases.compactMap { kind in
        let own = profile.layers.filter { $0.kind == kind }
        return own.isEmpty ? nil : row(own, name: "", kind: kind.rawValue, shape: "\(own.count)")
      } + [
        Row(
          layer: "", kind: "between layers", shape: "", milliseconds: 1000 * rest, share: rest / profile.seconds,
          gigaflop: 0),
        row(profile.layers, name: "", kind: "all layers", shape: "\(profile.layers.count)"),
      ]
  }

  func printLayers() {
    let widths = layers.reduce((5, 5)) { (max($0.0, $1.layer.count), max($0.1, $1.shape.count)) }
    let table = TablePrinter(
      columns: [("layer", widths.0), ("kind", 11), ("shape", widths.1)] + Self.figureColumns)
    table.printHeading()
    for row in layers { table.printRow([row.layer, row.kind, row.shape] + figures(row)) }
    print("")
  }

  func printKinds() {
    let table = TablePrinter(columns: [("kind", 14), ("layers", 6), ("GFLOP", 8)] + Self.figureColumns)
    table.printHeading()
    for row in kinds { table.printRow([row.kind, row.shape, decimal(row.gigaflop, 2)] + figures(row)) }
    print("")
  }

  private static let figureColumns = [("ms", 9), ("share", 7), ("GFLOP/s", 8), ("of peak", 7)]

  private func figures(_ row: Row) -> [String] {
    [
      decimal(row.milliseconds, 3), "\(percent(row.share)) %", decimal(row.rate, 0),
      row.rate.map { "\(decimal(100 * $0 / peak, 0)) %" } ?? "-",
    ]
  }
}
