import Foundation

/// A plot of quality against time with the Pareto front, as SVG that needs nothing else.
struct TradeoffPlot {
  struct Dot {
    let series: String
    /// Beside the dot.
    let label: String
    /// Positive.
    let time: Double
    let quality: Double
    /// What pointing at the dot shows.
    let details: String
    /// Drawn large, with its name.
    var isNamed = false
  }

  let title: String
  let timeLabel: String
  let qualityLabel: String
  let isMoreBetter: Bool
  let dots: [Dot]

  private static let (width, height) = (SVGPlot.width, 400.0)
  private static let (left, right, top, bottom) = (58.0, 172.0, 34.0, 44.0)

  /// The dots that no other beats in both, from the fastest on.
  var front: [Dot] {
    var best: [Dot] = []
    for dot in dots.sorted(by: {
      ($0.time, isMoreBetter ? -$0.quality : $0.quality) < ($1.time, isMoreBetter ? -$1.quality : $1.quality)
    }) {
      guard let last = best.last else { best.append(dot); continue }
      if isMoreBetter ? dot.quality > last.quality : dot.quality < last.quality { best.append(dot) }
    }
    return best
  }

  private var timeRange: (low: Double, high: Double) {
    let times = dots.map(\.time)
    return ((times.min() ?? 1) / 1.25, (times.max() ?? 10) * 1.25)
  }

  private var qualityRange: (low: Double, high: Double) {
    let values = dots.map(\.quality)
    let (low, high) = (values.min() ?? 0, values.max() ?? 1)
    let margin = max(0.08 * (high - low), 1e-9)
    return (low - margin, high + margin)
  }

  private func x(_ time: Double) -> Double {
    let (low, high) = timeRange
    return Self.left + log(time / low) / log(high / low) * (Self.width - Self.left - Self.right)
  }

  private func y(_ quality: Double) -> Double {
    let (low, high) = qualityRange
    return Self.height - Self.bottom - (quality - low) / (high - low) * (Self.height - Self.top - Self.bottom)
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  var svg: String {
    guard !dots.isEmpty else { return "" }
    let names = dots.map(\.series).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    let drawn = names.enumerated().map { index, name in
      series(name, color: SVGPlot.colors[index % SVGPlot.colors.count], legend: Self.top + 10 + 18 * Double(index))
    }
    return """
      <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(title.escaped)">
      <text class="title" x="\(Self.number(Self.left))" y="18">\(title.escaped)</text>
      \(axes)\(frontLine(legend: Self.top + 10 + 18 * Double(names.count)))\(drawn.joined())</svg>

      """
  }

  private var axes: String {
    let n = Self.number
    let (x0, x1, y0, y1) = (Self.left, Self.width - Self.right, Self.height - Self.bottom, Self.top)
    var text = ""
    for tick in timeTicks {
      text += """
        <line class="grid" x1="\(n(x(tick)))" x2="\(n(x(tick)))" y1="\(n(y0))" y2="\(n(y1))"/>\
        <text class="tick" text-anchor="middle" x="\(n(x(tick)))" y="\(n(y0 + 15))">\(Int(tick))</text>\n
        """
    }
    for tick in qualityTicks {
      let digits = qualityTicks.count > 1 && qualityTicks[1] - qualityTicks[0] < 1 ? 2 : 0
      text += """
        <line class="grid" x1="\(n(x0))" x2="\(n(x1))" y1="\(n(y(tick)))" y2="\(n(y(tick)))"/>\
        <text class="tick" text-anchor="end" x="\(n(x0 - 6))" y="\(n(y(tick)))" dy="4">\(decimal(tick, digits))</text>\n
        """
    }
    return text + """
      <text class="label" text-anchor="middle" x="\(n((x0 + x1) / 2))" y="\(n(Self.height - 8))">\(timeLabel.escaped)</text>
      <text class="label" text-anchor="middle" transform="translate(14 \(n((y0 + y1) / 2))) rotate(-90)">\
      \(qualityLabel.escaped)</text>\n
      """
  }

  /// 1, 2 and 5 times powers of ten.
  private var timeTicks: [Double] {
    let (low, high) = timeRange
    return (0...6).flatMap { power in [1, 2, 5].map { $0 * pow(10, Double(power)) } }.filter { low <= $0 && $0 <= high }
  }

  private var qualityTicks: [Double] {
    let (low, high) = qualityRange
    let rough = (high - low) / 6
    let power = pow(10, log10(rough).rounded(.down))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    return Array(stride(from: (low / step).rounded(.up) * step, through: high, by: step))
  }

  /// Steps: what is reached by a time is reached until the next dot.
  private func frontLine(legend: Double) -> String {
    let n = Self.number
    var points: [String] = []
    for (index, dot) in front.enumerated() {
      if index > 0 { points.append("\(n(x(dot.time))),\(n(y(front[index - 1].quality)))") }
      points.append("\(n(x(dot.time))),\(n(y(dot.quality)))")
    }
    if let last = front.last { points.append("\(n(Self.width - Self.right)),\(n(y(last.quality)))") }
    let left = Self.width - Self.right + 14
    return """
      <polyline fill="none" stroke="#1c1c1c" stroke-dasharray="3 3" stroke-opacity=".55" points="\(points.joined(separator: " "))"/>
      <line x1="\(n(left - 5))" x2="\(n(left + 5))" y1="\(n(legend))" y2="\(n(legend))" stroke="#1c1c1c" \
      stroke-dasharray="3 3"/><text class="name" x="\(n(left + 12))" y="\(n(legend))" dy="4">Pareto front</text>\n
      """
  }

  private func series(_ name: String, color: String, legend: Double) -> String {
    let n = Self.number
    let left = Self.width - Self.right + 14
    let own = dots.filter { $0.series == name }.sorted { $0.time < $1.time }
    var text = """
      <g class="line"><circle cx="\(n(left))" cy="\(n(legend))" r="4" fill="\(color)"/>\
      <text class="name" style="fill:\(color)" x="\(n(left + 12))" y="\(n(legend))" dy="4">\(name.escaped)</text>\n
      """
    if !own.contains(where: \.isNamed), own.count > 1 {
      let path = own.map { "\(n(x($0.time))),\(n(y($0.quality)))" }.joined(separator: " ")
      text += "<polyline fill=\"none\" stroke=\"\(color)\" stroke-opacity=\".5\" points=\"\(path)\"/>\n"
    }
    for dot in own {
      let (cx, cy) = (x(dot.time), y(dot.quality))
      let isFarRight = cx > Self.width - Self.right - 70
      let anchor = dot.isNamed && isFarRight ? "end" : "start"
      let shift = dot.isNamed ? (isFarRight ? -9.0 : 9) : 4
      text += """
        <circle cx="\(n(cx))" cy="\(n(cy))" r="\(dot.isNamed ? 5.5 : 3.2)" fill="\(color)">\
        <title>\(dot.details.escaped)</title></circle>\
        <text class="name" style="fill:\(color);font-weight:\(dot.isNamed ? 600 : 400)" text-anchor="\(anchor)" \
        x="\(n(cx + shift))" y="\(n(cy + (dot.isNamed ? 14 : -5)))">\(dot.label.escaped)</text>\n
        """
    }
    return text + "</g>\n"
  }
}
