import Fewstep

/// A profile as tables: by layer, and summed up by kind.
struct ProfileTable {
  struct Row: Encodable {
    let layer: String
    let kind: String
    let shape: String
    let calls: Int
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
        layer: name, kind: kind, shape: shape, calls: layers.count, milliseconds: 1000 * seconds,
        share: seconds / profile.seconds,
        gigaflop: layers.reduce(0) { $0 + $1.operations } / 1e9)
    }
    // One row for a layer that is called for every image.
    var order: [Call: Int] = [:]
    var calls: [[Profile.Layer]] = []
    for layer in profile.layers {
      let call = Call(name: layer.name, kind: layer.kind, shape: layer.shape)
      if let index = order[call] {
        calls[index].append(layer)
      } else {
        order[call] = calls.count
        calls.append([layer])
      }
    }
    layers = calls.map { row($0, name: $0[0].name, kind: $0[0].kind.rawValue, shape: $0[0].shape) }
    let rest = profile.seconds - profile.layers.reduce(0) { $0 + $1.seconds }
    kinds =
      Profile.Kind.allCases.compactMap { kind in
        let own = profile.layers.filter { $0.kind == kind }
        return own.isEmpty ? nil : row(own, name: "", kind: kind.rawValue, shape: "")
      } + [
        Row(
          layer: "", kind: "between layers", shape: "", calls: 0, milliseconds: 1000 * rest,
          share: rest / profile.seconds, gigaflop: 0),
        row(profile.layers, name: "", kind: "all layers", shape: ""),
      ]
  }

  /// What the calls of one row have in common.
  private struct Call: Hashable {
    let name: String
    let kind: Profile.Kind
    let shape: String
  }

  func printLayers() {
    let widths = layers.reduce((5, 5)) { (max($0.0, $1.layer.count), max($0.1, $1.shape.count)) }
    let table = TablePrinter(
      columns: [("layer", widths.0), ("kind", 11), ("shape", widths.1), ("calls", 5)] + Self.figureColumns)
    table.printHeading()
    for row in layers { table.printRow([row.layer, row.kind, row.shape, "\(row.calls)"] + figures(row)) }
    print("")
  }

  func printKinds() {
    let table = TablePrinter(columns: [("kind", 14), ("calls", 6), ("GFLOP", 8)] + Self.figureColumns)
    table.printHeading()
    for row in kinds {
      table.printRow([row.kind, row.calls > 0 ? "\(row.calls)" : "", decimal(row.gigaflop, 2)] + figures(row))
    }
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
