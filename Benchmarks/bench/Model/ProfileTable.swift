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
    printRows(
      layers,
      [
        .init("layer", widths.0) { $0.layer }, .init("kind", 11) { $0.kind }, .init("shape", widths.1) { $0.shape },
        .init("calls", 5) { "\($0.calls)" },
      ])
  }

  func printKinds() {
    printRows(
      kinds,
      [
        .init("kind", 14) { $0.kind }, .init("calls", 6) { $0.calls > 0 ? "\($0.calls)" : "" },
        .init("GFLOP", 8) { decimal($0.gigaflop, 2) },
      ])
  }

  private func printRows(_ rows: [Row], _ columns: [Table<Row>.Column]) {
    let table = Table<Row>(
      columns + [
        .init("ms", 9) { decimal($0.milliseconds, 3) }, .init("share", 7) { "\(percent($0.share)) %" },
        .init("GFLOP/s", 8) { decimal($0.rate, 0) },
        .init("of peak", 7) { row in row.rate.map { "\(decimal(100 * $0 / peak, 0)) %" } ?? "-" },
      ])
    table.printHeading()
    rows.forEach(table.printRow)
    print("")
  }
}
