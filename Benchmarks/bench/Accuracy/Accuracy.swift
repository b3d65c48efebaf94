import ArgumentParser
import Fewstep
import Foundation

struct Accuracy: MeasuringCommand {
  static let configuration = CommandConfiguration(
    abstract: "Work-precision diagrams and orders of convergence of every solver.",
    discussion: """
      Runs every deterministic solver on every grid it fits, on a mixture of Gaussians with an exact denoiser and on the \
      bundled model, and compares the results with converged ones.
      """)

  @Option(help: ArgumentHelp("Write the diagrams and tables to this page.", valueName: "file.html"))
  var html = "accuracy.html"

  @OptionGroup var figures: FigureOptions

  @Option(help: ArgumentHelp("Only this solver, see `fewstep solvers`; may be repeated.", valueName: "name"))
  var solver: [String] = []

  @Option(help: ArgumentHelp("Only this grid, see `fewstep grids`; may be repeated.", valueName: "name"))
  var grid: [String] = []

  @Flag(name: .customLong("exact-only"), help: "Leave out the bundled model, which takes most of the time.")
  var exactOnly = false

  struct Figures: Encodable {
    let machine: Machine
    let workPrecision: [WorkPrecision]
    let orders: [OrderTable.Row]
    let tradeoffs: [Measurement]
  }

  func measure(on machine: Machine) async throws {
    let entries =
      solver.isEmpty ? SolverCatalogue.all : try solver.map { name in try SolverCatalogue.entry(named: name) }
    let spacings = grid.isEmpty ? GridSpacing.allCases : try grid.map { try GridSpacing(named: $0) }
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
    try AccuracyPage(machine: machine, curves: curves, orders: orders, tradeoffs: tradeoffs).page.write(to: html)
    try figures.write(Figures(machine: machine, workPrecision: curves, orders: orders, tradeoffs: tradeoffs))
  }

  private func measureAdaptive(_ exact: MixtureStudy) async throws -> [WorkPrecision] {
    var converged: [SolverEntry.Family: [DoubleTensor]] = [:]
    let table = Table<WorkPrecision>(
      [.init("solver", 24) { $0.solver }]
        + MixtureStudy.tolerances.indices.map { index in
          .init("\(MixtureStudy.tolerances[index])", 14) { $0.points[index].text }
        })
    let curves = try await table.rows(
      "Adaptive solvers on the \(MixtureStudy.name): mean evaluations and RMSE by relative tolerance",
      AdaptiveCatalogue.all
    ) { entry, _ in
      if converged[entry.family] == nil { converged[entry.family] = try await exact.converged(entry.family) }
      return try await exact.measure(entry, against: converged[entry.family] ?? [])
    }
    print("")
    return curves
  }

  private func measureOrders(_ entries: [SolverEntry]) async throws -> [OrderTable.Row] {
    let table = Table<OrderTable.Row>([
      .init("solver", 24) { $0.solver }, .init("path", 17) { $0.path },
      .init("prediction", 10) { $0.prediction.rawValue }, .init("theory", 6) { "\($0.theory)" },
      .init("Gaussian", 8) { decimal($0.gaussian, 3) }, .init("mixture", 8) { decimal($0.mixture, 3) },
    ])
    table.printHeading("Orders of convergence on exact problems, Double")
    var rows: [OrderTable.Row] = []
    for entry in entries {
      let own = try await OrderTable.rows(entry)
      own.forEach(table.printRow)
      rows += own
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
    let table = Table<WorkPrecision>(
      [.init("solver", 24) { $0.solver }, .init("grid", 18) { $0.grid }]
        + WorkPrecision.columns.map { evaluations in .init("\(evaluations)", 8) { $0.cell(evaluations) } })
    for spacing in spacings {
      for entry in entries {
        if results[entry.family] == nil { results[entry.family] = try await converged(entry.family) }
        guard let curve = try await measure(entry, spacing, results[entry.family] ?? []) else { continue }
        if curves.isEmpty { table.printHeading("RMSE by number of evaluations: \(curve.problem)") }
        curves.append(curve)
        table.printRow(curve)
      }
    }
    print("")
    return curves
  }
}
