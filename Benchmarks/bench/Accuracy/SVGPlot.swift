import Foundation

/// A plot of lines with logarithmic axes, as SVG that needs nothing else.
struct SVGPlot {
  struct Line {
    let label: String
    /// Both coordinates are positive.
    let points: [(x: Double, y: Double)]
    /// Drawn in grey, for comparison.
    var isReference = false
  }

  let title: String
  let xLabel: String
  let yLabel: String
  let lines: [Line]
  /// Labels of the ticks of the x axis; those of the y axis are powers of ten.
  let xTicks: [Double]
  /// The range shown of y; what lies outside is cut off.
  let yRange: ClosedRange<Double>

  static let width = 560.0
  static let height = 380.0
  private static let (left, right, top, bottom) = (58.0, 128.0, 34.0, 44.0)

  /// Colours that can be told apart by most people (Okabe and Ito 2008), then again with dashes.
  static let colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#444444"]

  private func x(_ value: Double) -> Double {
    let (low, high) = (log(xTicks[0]), log(xTicks[xTicks.count - 1]))
    return Self.left + (log(value) - low) / (high - low) * (Self.width - Self.left - Self.right)
  }

  private func y(_ value: Double) -> Double {
    let (low, high) = (log(yRange.lowerBound), log(yRange.upperBound))
    return Self.height - Self.bottom - (log(value) - low) / (high - low) * (Self.height - Self.top - Self.bottom)
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  var svg: String {
    let n = Self.number
    let (x0, x1) = (Self.left, Self.width - Self.right)
    let (y0, y1) = (Self.height - Self.bottom, Self.top)
    var text = """
      <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(title.escaped)">
      <text class="title" x="\(n(x0))" y="18">\(title.escaped)</text>\n
      """
    for tick in xTicks {
      text += """
        <line class="grid" x1="\(n(x(tick)))" x2="\(n(x(tick)))" y1="\(n(y0))" y2="\(n(y1))"/>\
        <text class="tick" text-anchor="middle" x="\(n(x(tick)))" y="\(n(y0 + 15))">\(Int(tick))</text>\n
        """
    }
    let exponents =
      Int(log10(yRange.lowerBound).rounded(.up) + 0.01)...Int(log10(yRange.upperBound).rounded(.down) + 0.01)
    for exponent in exponents {
      let height = n(y(pow(10, Double(exponent))))
      text += """
        <line class="grid" x1="\(n(x0))" x2="\(n(x1))" y1="\(height)" y2="\(height)"/>\
        <text class="tick" text-anchor="end" x="\(n(x0 - 6))" y="\(height)" dy="4">10<tspan dy="-5" font-size="9">\
        \(exponent)</tspan></text>\n
        """
    }
    text += """
      <text class="label" text-anchor="middle" x="\(n((x0 + x1) / 2))" y="\(n(Self.height - 8))">\(xLabel.escaped)</text>
      <text class="label" text-anchor="middle" transform="translate(14 \(n((y0 + y1) / 2))) rotate(-90)">\
      \(yLabel.escaped)</text>\n
      """
    text += lines.indices.map(drawn).joined()
    return text + "</svg>\n"
  }

  /// A line and, at its end, its name, moved away from the names of others.
  private func drawn(_ index: Int) -> String {
    let line = lines[index]
    let own = lines[..<index].count { !$0.isReference }
    let color = line.isReference ? "#9a9a9a" : Self.colors[own % Self.colors.count]
    let dash = line.isReference ? "2 3" : own < Self.colors.count ? "none" : "6 3"
    let shown = line.points.filter { yRange.contains($0.y) }
    guard !shown.isEmpty else { return "" }
    let path = shown.map { "\(Self.number(x($0.x))),\(Self.number(y($0.y)))" }.joined(separator: " ")
    let dots = shown.map {
      """
      <circle cx="\(Self.number(x($0.x)))" cy="\(Self.number(y($0.y)))" r="2.2" fill="\(color)">\
      <title>\(line.label.escaped): \(Int($0.x)) evaluations, \(String(format: "%.2e", $0.y))</title></circle>
      """
    }.joined()
    let labelX = Self.number(Self.width - Self.right + 12)
    return """
      <g class="line"><polyline fill="none" stroke="\(color)" stroke-dasharray="\(dash)" points="\(path)"/>\(dots)\
      <text class="name" style="fill:\(color)" x="\(labelX)" y="\(Self.number(labelHeights[index]))" dy="4">\
      \(line.label.escaped)</text></g>\n
      """
  }

  /// Where the names stand: in the order of the lines' last points, far enough apart to be read.
  private var labelHeights: [Double] {
    let spacing = 12.5
    let wanted = lines.map { line in line.points.last { yRange.contains($0.y) }.map { y($0.y) } ?? 0 }
    var heights = wanted
    var next = Self.top
    for index in wanted.indices.sorted(by: { wanted[$0] < wanted[$1] }) {
      heights[index] = max(wanted[index], next)
      next = heights[index] + spacing
    }
    let overhang = next - spacing - (Self.height - Self.bottom)
    return overhang > 0 ? heights.map { max($0 - overhang, Self.top) } : heights
  }
}

extension String {
  /// For HTML and SVG.
  var escaped: String {
    replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
      .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
  }
}
