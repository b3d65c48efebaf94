/// Rows as columns of equal width, two spaces apart.
///
/// - Parameter limits: of columns by their index, the width beyond which cells go on in the next line, between words.
func table(_ rows: [[String]], limits: [Int: Int] = [:]) -> String {
  let lines = rows.flatMap { row in
    let cells = row.enumerated().map { index, cell in limits[index].map { wrapped(cell, at: $0) } ?? [cell] }
    return (0..<(cells.map(\.count).max() ?? 0)).map { line in cells.map { $0.indices.contains(line) ? $0[line] : "" } }
  }
  let columns = lines.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in
    lines.map { $0.indices.contains(column) ? $0[column].count : 0 }.max() ?? 0
  }
  return lines.map { line in
    let padded = zip(line, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
    return String(padded.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
  }.joined(separator: "\n")
}

/// `text` in lines of at most `width`, unless a word is longer.
private func wrapped(_ text: String, at width: Int) -> [String] {
  text.split(separator: " ").reduce(into: [""]) { lines, word in
    let last = lines[lines.count - 1]
    if last.isEmpty {
      lines[lines.count - 1] = String(word)
    } else if last.count + 1 + word.count <= width {
      lines[lines.count - 1] = "\(last) \(word)"
    } else {
      lines.append(String(word))
    }
  }
}
