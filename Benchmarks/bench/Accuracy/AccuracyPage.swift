import Fewstep
import Foundation

/// The work-precision diagrams and the order table as one HTML file that loads nothing.
struct AccuracyPage {
  let machine: Machine
  let curves: [WorkPrecision]
  let orders: [OrderTable.Row]
  /// Presets and other settings on the bundled model; empty where it was left out.
  var tradeoffs: [Measurement] = []

  /// Lines that go into one diagram: more cannot be told apart.
  private static let mostLines = 8
  /// What every diagram of a family shows for comparison.
  private static let references: [SolverEntry.Family: [String]] = [
    .diffusion: ["ddim", "dpm++2m"], .flow: ["flow-euler", "flow-heun"],
  ]
  /// Grids on which solvers are compared, and solvers on which grids are; all others are in the table.
  private static let comparedOn: [GridSpacing] = [.karras, .uniformLambda, .trailing]
  private static let comparing = ["ddim", "dpm++2m", "unipc2", "heun", "flow-euler", "flow-heun"]

  var page: HTMLPage {
    HTMLPage(
      title: "Accuracy of solvers",
      body: """
        <p>Written by <code>bench accuracy</code>, fewstep \(fewstepVersion), on \(machine.description.escaped). Each line is a solver on
        a grid: the number of model evaluations against the root mean square distance to the converged result from the same
        noise. Lower and further left is better. Grey lines stand in every diagram of a kind. Point at a dot for its
        figures.</p>
        \(ToolkitPage.plots(tradeoffs))\(sections)
        <h2>Orders of convergence</h2>
        <p>The slope between a coarse grid and one of four times as many steps, in double precision, on data whose denoiser is
        exact: a correlated Gaussian against its exact trajectory, and a mixture of two by the differences between runs.
        Steps are equal in lambda, or in sigma on the straight path.</p>
        \(orderTable)
        <h2>All figures</h2>
        \(figureTable)
        """)
  }

  /// Values in the order in which they first appear.
  private static func distinct<T: Hashable>(_ values: [T]) -> [T] {
    var seen: Set<T> = []
    return values.filter { seen.insert($0).inserted }
  }

  private var sections: String {
    Self.distinct(curves.map(\.problem)).map { problem in
      "<h2>Work and precision: \(problem.escaped)</h2>\n"
        + [SolverEntry.Family.diffusion, .flow].map { plots(problem, $0) }.joined()
    }.joined()
  }

  /// The diagrams of one problem and family: solvers on the same grid, then grids of the same solver.
  private func plots(_ problem: String, _ family: SolverEntry.Family) -> String {
    let own = curves.filter { $0.problem == problem && $0.family == family }
    guard !own.isEmpty else { return "" }
    let axes = Axes(own)
    let references = Self.references[family] ?? []
    let compared = Self.comparedOn.map(\.rawValue) + [MixtureStudy.adaptive]
    let chosen = compared.filter { grid in own.contains { $0.grid == grid } }
    var drawn: [String] = []
    for grid in chosen.isEmpty ? Self.distinct(own.map(\.grid)) : chosen {
      let all = own.filter { $0.grid == grid }
      drawn += axes.plots(
        "\(family.rawValue) solvers, \(grid) grid", all.filter { !references.contains($0.solver) }, by: \.solver,
        beside: all.filter { references.contains($0.solver) })
    }
    for solver in Self.comparing {
      let all = own.filter { $0.solver == solver }
      if all.count > 1 { drawn += axes.plots("grids for \(solver)", all, by: \.grid) }
    }
    return "<div class=\"plots\">\(drawn.joined())</div>\n"
  }

  /// The axes that all diagrams of a problem and family share.
  private struct Axes {
    let xTicks: [Double]
    let yRange: ClosedRange<Double>

    init(_ curves: [WorkPrecision]) {
      let points = curves.flatMap(\.points)
      let errors = points.map(\.error).filter { $0 > 0 && $0.isFinite }
      let lowest = max(errors.min() ?? 1e-3, 1e-7)
      yRange = lowest / 1.5...max(min(errors.max() ?? 1, 3), 10 * lowest)
      let ticks = [4, 5, 7, 10, 15, 20, 30, 40, 60, 80, 120, 160].map(Double.init)
      let most = Double(points.map(\.evaluations).max() ?? 100)
      xTicks = Array(ticks.prefix { $0 < most }) + ticks.filter { $0 >= most }.prefix(1)
    }

    /// As many diagrams as the lines need.
    func plots(
      _ title: String, _ curves: [WorkPrecision], by label: (WorkPrecision) -> String,
      beside references: [WorkPrecision] = []
    ) -> [String] {
      let parts = max(1, (curves.count + mostLines - 1) / mostLines)
      return (0..<parts).map { part in
        let own = curves.enumerated().filter { $0.offset * parts / curves.count == part }.map(\.element)
        return SVGPlot(
          title: title + (parts > 1 ? " (\(part + 1) of \(parts))" : ""), xLabel: "model evaluations", yLabel: "RMSE",
          lines: references.map { line($0, label($0), isReference: true) } + own.map { line($0, label($0)) },
          xTicks: xTicks, yRange: yRange
        ).svg
      }
    }

    private func line(_ curve: WorkPrecision, _ label: String, isReference: Bool = false) -> SVGPlot.Line {
      let points = curve.points.filter { $0.error > 0 && Double($0.evaluations) >= xTicks[0] }
      return .init(label: label, points: points.map { (Double($0.evaluations), $0.error) }, isReference: isReference)
    }
  }

  private var orderTable: String {
    func cell(_ value: Double, _ theory: Int) -> String {
      let text = String(format: "%.2f", value)
      return abs(value - Double(theory)) < OrderTable.tolerance ? text : "<span class=\"off\">\(text)</span>"
    }
    return HTMLPage.table(
      ["solver", "path", "prediction", "theory", "Gaussian", "mixture"],
      orders.map { row in
        [
          row.solver.escaped, row.path.escaped, row.prediction.rawValue, "\(row.theory)",
          cell(row.gaussian, row.theory), cell(row.mixture, row.theory),
        ]
      })
  }

  private var figureTable: String {
    Self.distinct(curves.map(\.problem)).map { problem in
      let own = curves.filter { $0.problem == problem }
      return "<h3>\(problem.escaped)</h3>"
        + HTMLPage.table(
          ["solver", "grid", "evaluations: RMSE"],
          own.map { curve in
            [
              curve.solver.escaped, curve.grid.escaped,
              curve.points.map(\.text).joined(separator: " &nbsp; "),
            ]
          })
    }.joined()
  }
}
