/// Names that are like a misspelt one.
enum Spelling {
  /// The nearest names first: at most three, each at most three letters off.
  static func near(_ word: String, among names: [String]) -> [String] {
    let distances = names.map { (name: $0, distance: distance(word.lowercased(), $0.lowercased())) }
    return distances.filter { $0.distance <= min(3, word.count / 2) }.sorted { $0.distance < $1.distance }.prefix(3)
      .map(\.name)
  }

  /// How many letters must be put in, taken out or replaced (Levenshtein).
  static func distance(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (index, letter) in left.enumerated() {
      var next = [index + 1]
      for column in right.indices {
        next.append(min(row[column + 1] + 1, next[column] + 1, row[column] + (letter == right[column] ? 0 : 1)))
      }
      row = next
    }
    return row[right.count]
  }
}
