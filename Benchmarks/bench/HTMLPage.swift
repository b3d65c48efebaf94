import Foundation

/// An HTML file that loads nothing.
struct HTMLPage {
  let title: String
  let body: String

  private var html: String {
    """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>Fewstep: \(title.escaped)</title>
    <style>\(Self.style)</style></head><body>
    <h1>\(title.escaped)</h1>
    \(body)
    </body></html>

    """
  }

  func write(to path: String) throws {
    try Data(html.utf8).write(to: URL(filePath: path), options: .atomic)
    print("wrote \(path)")
  }

  /// - Parameters:
  ///   - rows: cells as HTML.
  ///   - isText: whether the cells are words, which stand to the left.
  static func table(_ heading: [String], _ rows: [[String]], isText: Bool = false) -> String {
    let head = heading.map { "<th>\($0.escaped)</th>" }.joined()
    let body = rows.map { "<tr>" + $0.map { "<td>\($0)</td>" }.joined() + "</tr>" }.joined(separator: "\n")
    return "<div class=\"scroll\"><table\(isText ? " class=\"text\"" : "")><thead><tr>\(head)</tr></thead><tbody>\n"
      + "\(body)</tbody></table></div>\n"
  }

  private static let style = """
    body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; max-width: 1180px; margin: 32px auto;
      padding: 0 20px }
    h1 { font-size: 26px; margin: 0 } h2 { font-size: 20px; margin: 36px 0 4px } h3 { font-size: 16px; margin: 20px 0 4px }
    .plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)); gap: 8px 20px }
    svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #444 }
    svg .title { font-weight: 600; font-size: 13px; fill: #1c1c1c } svg .grid { stroke: #e4e4e4 }
    svg polyline { stroke-width: 1.6 } svg .name { font-size: 10.5px }
    svg:has(.line:hover) .line:not(:hover) { opacity: .18 } svg .line:hover polyline { stroke-width: 3 }
    table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: 2px 12px 2px 0; text-align: right }
    td:first-child, th:first-child { text-align: left } thead th { border-bottom: 1px solid #999; font-weight: 600 }
    tbody tr:nth-child(even) { background: #f6f6f6 } .off { color: #b3261e; font-weight: 600 }
    .text td, .text th { text-align: left; vertical-align: top; padding-right: 20px } .scroll { overflow-x: auto }
    """
}
