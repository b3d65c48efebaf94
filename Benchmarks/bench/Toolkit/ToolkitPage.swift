import Fewstep

/// Presets, techniques and the plots of quality against time as one HTML file that loads nothing.
struct ToolkitPage: Encodable {
  let machine: Machine
  var presets: [Measurement] = []
  var toolkit: [Finding.Row] = []
  /// What the plots show beside the presets.
  var plotted: [Measurement] = []

  var page: HTMLPage {
    HTMLPage(
      title: "Presets and techniques",
      body: """
        <p>Written by <code>bench</code>, fewstep \(fewstepVersion), on \(machine.description.escaped), guidance \
        \(decimal(SamplerTable.scale, 0)), pictures of 64x64.</p>
        \(Self.plots(presets + plotted))\(presetTable)\(toolkitTable)
        """)
  }

  /// Quality against time in the senses in which it is measured.
  static func plots(_ measurements: [Measurement]) -> String {
    guard !measurements.isEmpty else { return "" }
    func plot(
      _ title: String, _ label: String, isMoreBetter: Bool, _ quality: (Measurement) -> Double?
    ) -> String {
      TradeoffPlot(
        title: title, timeLabel: "milliseconds per image", qualityLabel: label, isMoreBetter: isMoreBetter,
        dots: measurements.compactMap { result in
          quality(result).map { value in
            let isPreset = result.series == "preset"
            return TradeoffPlot.Dot(
              series: isPreset ? "presets" : result.series, label: isPreset ? result.name : "\(result.steps)",
              time: result.millisecondsPerImage, quality: value,
              details: "\(result.name): \(decimal(result.millisecondsPerImage, 1)) ms, \(decimal(value, 2))",
              isNamed: isPreset)
          }
        }
      ).svg
    }
    return """
      <h2>Quality against time</h2>
      <p>Numbers beside dots are steps. No dot beats one on the Pareto front in both time and quality. The images that PSNR
      compares with come from the same seed and \(SettingBench.convergedSteps) evaluations in single precision;
      samplers that add noise of their own have none. The Fréchet distance is missing where there are fewer than 64
      images.</p>
      <div class="plots">
      \(plot("Distance to the converged image", "PSNR in dB, higher is better", isMoreBetter: true) { $0.quality?.psnr })
      \(plot("Likeness to real pictures", "Fréchet distance, lower is better", isMoreBetter: false) { $0.scores.frechet })
      </div>

      """
  }

  private var presetTable: String {
    guard let baseline = presets.last else { return "" }
    let table = PresetTable.table(over: baseline)
    return "<h2>Presets</h2>\n" + HTMLPage.table(table.titles, presets.map { table.cells($0).map(\.escaped) })
  }

  private var toolkitTable: String {
    guard !toolkit.isEmpty else { return "" }
    return "<h2>Techniques, claimed and measured</h2>\n"
      + HTMLPage.table(
        ["technique", "claimed", "measured", "why"],
        toolkit.map { [$0.technique, $0.claimed, $0.finding.measured, $0.finding.why].map(\.escaped) }, isText: true)
  }
}
