import ArgumentParser
import Fewstep
import Foundation

struct Accuracy: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Work-precision diagrams and orders of convergence of every solver.",
    discussion: """
      Runs every deterministic solver on every grid it fits, on a mixture of Gaussians with an exact denoiser and on the \
      bundled model, and compares the results with converged ones.
      """)

  @Option(help: ArgumentHelp("Write the diagrams and tables to this page.", valueName: "file.html"))
  var html = "accuracy.html"

  @Option(help: ArgumentHelp("Write all figures to this file.", valueName: "file.json"))
  var json: String?

  @Option(help: ArgumentHelp("Only these solvers; see `fewstep solvers`.", valueName: "name"))
  var solver: [String] = []

  @Option(help: ArgumentHelp("Only these grids.", valueName: "name"))
  var grid: [String] = []

  @Flag(name: .customLong("exact-only"), help: "Leave out the bundled model, which takes most of the time.")
  var exactOnly = false

  struct Figures: Encodable {
    let machine: Machine
    let workPrecision: [WorkPrecision]
    let orders: [OrderTable.Row]
    let tradeoffs: [Measurement]
  }

  func run() async throws { try await inRelease(measure) }

  private func measure() async throws {
    let entries =
      solver.isEmpty ? SolverCatalogue.all : try solver.map { name in try SolverCatalogue.entry(named: name) }
    let spacings = grid.isEmpty ? GridSpacing.allCases : try grid.map { try GridSpacing(named: $0) }
    let machine = Machine.current
    print("fewstep \(fewstepVersion) on \(machine)\n")
    let orders = try await measureOrders(entries)
    var curves: [WorkPrecision] = []
    var tradeoffs: [Measurement] = []
    let exact = MixtureStudy()
    curves += try await measureCurves(entries, spacings, converged: exact.converged) {
      try await exact.measure($0, on: $1, against: $2)
    }
    if solver.isEmpty, grid.isEmpty { curves += try await measureAdaptive(exact) }
    if !exactOnly {
      let bench = try Workbench()
      let model = ModelStudy(bench: bench)
      // Each grid on the model takes minutes: those that lead on the exact problem.
      let chosen = grid.isEmpty ? spacings.filter { [.karras, .trailing, .uniformLambda].contains($0) } : spacings
      curves += try await measureCurves(entries, chosen, converged: model.converged) {
        try await model.measure($0, on: $1, against: $2)
      }
      if solver.isEmpty, grid.isEmpty {
        let settings = SettingBench(bench: bench, images: 64)
        tradeoffs = try await PresetTable(bench: settings).measure() + settings.measurePlotted()
      }
    }
    let page = AccuracyPage(machine: "\(machine)", curves: curves, orders: orders, tradeoffs: tradeoffs)
    try Data(page.html.utf8).write(to: URL(filePath: html), options: .atomic)
    print("wrote \(html)")
    if let json {
      let figures = Figures(machine: machine, workPrecision: curves, orders: orders, tradeoffs: tradeoffs)
      try figures.writeJSON(to: URL(filePath: json))
      print("wrote \(json)")
    }
  }

  private func measureAdaptive(_ exact: MixtureStudy) async throws -> [WorkPrecision] {
    print("Adaptive solvers on the \(MixtureStudy.name): mean evaluations and RMSE by relative tolerance")
    let table = TablePrinter(columns: [("solver", 24)] + MixtureStudy.tolerances.map { ("\($0)", 14) })
    table.printHeading()
    var curves: [WorkPrecision] = []
    var converged: [SolverEntry.Family: [DoubleTensor]] = [:]
    for entry in AdaptiveCatalogue.all {
      if converged[entry.family] == nil { converged[entry.family] = try await exact.converged(entry.family) }
      let curve = try await exact.measure(entry, against: converged[entry.family] ?? [])
      curves.append(curve)
      table.printRow(
        [curve.solver] + curve.points.map { "\($0.evaluations): \(String(format: "%.1e", $0.error))" })
    }
    print("")
    return curves
  }

  private func measureOrders(_ entries: [SolverEntry]) async throws -> [OrderTable.Row] {
    print("Orders of convergence on exact problems, Double")
    let table = TablePrinter(columns: [
      ("solver", 24), ("path", 17), ("prediction", 10), ("theory", 6), ("Gaussian", 8), ("mixture", 8),
    ])
    table.printHeading()
    var rows: [OrderTable.Row] = []
    for entry in entries {
      for row in try await OrderTable.rows(entry) {
        rows.append(row)
        table.printRow([
          row.solver, row.path, row.prediction.rawValue, "\(row.theory)", decimal(row.gaussian, 3),
          decimal(row.mixture, 3),
        ])
      }
    }
    print("")
    return rows
  }

  /// Every solver on every grid it fits, printed as they are done.
  private func measureCurves<T: Tensor>(
    _ entries: [SolverEntry], _ spacings: [GridSpacing], converged: (SolverEntry.Family) async throws -> [T],
    measure: (SolverEntry, GridSpacing, [T]) async throws -> WorkPrecision?
  ) async throws -> [WorkPrecision] {
    var curves: [WorkPrecision] = []
    var results: [SolverEntry.Family: [T]] = [:]
    let table = TablePrinter(columns: [("solver", 24), ("grid", 18)] + WorkPrecision.columns.map { ("\($0)", 8) })
    for spacing in spacings {
      for entry in entries {
        if results[entry.family] == nil { results[entry.family] = try await converged(entry.family) }
        guard let curve = try await measure(entry, spacing, results[entry.family] ?? []) else { continue }
        if curves.isEmpty {
          print("RMSE by number of evaluations: \(curve.problem)")
          table.printHeading()
        }
        curves.append(curve)
        table.printRow([curve.solver, curve.grid] + WorkPrecision.columns.map(curve.cell))
      }
    }
    print("")
    return curves
  }
}
