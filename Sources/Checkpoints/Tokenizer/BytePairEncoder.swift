/// Byte pair encoding with ranked merges (Sennrich et al. 2016, arXiv:1508.07909), one piece of text at a time.
///
/// The merge of lowest rank comes first, and of equal ones the leftmost. A piece of n bytes takes O(n log n), so that
/// no text can hang it.
struct BytePairEncoder: Sendable {
  /// A pair of neighbouring tokens.
  struct Pair: Hashable, Sendable {
    let left: Int
    let right: Int
  }

  /// The token of each byte within a piece, and of each byte at its end.
  private let inner: [Int]
  private let final: [Int]

  private let ranks: [Pair: Int]
  /// The token that the merge of each rank makes.
  private let products: [Int]

  /// - Parameters:
  ///   - inner: the tokens of the 256 bytes within a piece.
  ///   - final: the tokens of the 256 bytes at a piece's end.
  ///   - merges: pairs and what they become, by rank. Where a pair comes twice, its last rank counts.
  init(inner: [Int], final: [Int], merges: [(pair: Pair, product: Int)]) {
    self.inner = inner
    self.final = final
    ranks = Dictionary(zip(merges.map(\.pair), merges.indices)) { $1 }
    products = merges.map(\.product)
  }

  /// The tokens of `piece`, the bytes of a text's piece.
  func tokens(of piece: [UInt8]) -> [Int] {
    var chain = Chain(piece.indices.map { $0 == piece.count - 1 ? final[Int(piece[$0])] : inner[Int(piece[$0])] })
    var candidates = MinimumHeap<Candidate>()
    func propose(_ position: Int) {
      guard let rank = chain.pair(at: position).flatMap({ ranks[$0] }) else { return }
      candidates.insert(Candidate(rank: rank, position: position))
    }
    for position in piece.indices { propose(position) }
    while let next = candidates.popMinimum() {
      // Neighbours may have merged meanwhile. As in transformers, another pair with the same product will do.
      guard let rank = chain.pair(at: next.position).flatMap({ ranks[$0] }),
        products[rank] == products[next.rank]
      else { continue }
      chain.merge(at: next.position, into: products[rank])
      if let previous = chain.position(before: next.position) { propose(previous) }
      propose(next.position)
    }
    return chain.tokens
  }

  private struct Candidate: Comparable {
    let rank: Int
    let position: Int

    static func < (left: Candidate, right: Candidate) -> Bool {
      (left.rank, left.position) < (right.rank, right.position)
    }
  }

  /// Tokens linked to their neighbours. A merged one lives on at its left half's position.
  private struct Chain {
    private var links: [(token: Int?, previous: Int, next: Int)]

    init(_ tokens: [Int]) {
      links = tokens.enumerated().map { ($1, $0 - 1, $0 + 1) }
    }

    var tokens: [Int] { links.compactMap(\.token) }

    func pair(at position: Int) -> Pair? {
      let link = links[position]
      guard let left = link.token, link.next < links.count, let right = links[link.next].token else { return nil }
      return Pair(left: left, right: right)
    }

    func position(before position: Int) -> Int? {
      links[position].previous >= 0 ? links[position].previous : nil
    }

    mutating func merge(at position: Int, into token: Int) {
      let right = links[position].next
      let next = links[right].next
      links[position] = (token, links[position].previous, next)
      links[right].token = nil
      if next < links.count { links[next].previous = position }
    }
  }
}
