/// The extents of a tensor, outermost dimension first.
///
/// An image's latent is `[height, width, channels]`, a batch of activations `[batch, height, width, channels]`.
public struct Shape: Hashable, Sendable, Codable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let dimensions: [Int]

  /// The product of the dimensions; 1 for a scalar's empty shape.
  public let count: Int

  /// A shape whose dimensions are known to be sound.
  ///
  /// - Precondition: no dimension is negative and the count fits an `Int`. Sizes from a file or a caller go through
  ///   ``init(validating:)``.
  public init(_ dimensions: [Int]) {
    guard let shape = Shape(validating: dimensions) else {
      preconditionFailure("not a shape: \(dimensions)")
    }
    self = shape
  }

  /// A shape from sizes nobody has checked: `nil` where one is negative or their product overflows.
  public init?(validating dimensions: [Int]) {
    var count = 1
    for dimension in dimensions {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { return nil }
      count = product
    }
    self.dimensions = dimensions
    self.count = count
  }

  public init(arrayLiteral elements: Int...) {
    self.init(elements)
  }

  /// The number of dimensions.
  public var rank: Int { dimensions.count }

  /// The extent of dimension `index`; negative indices count from the last.
  public subscript(index: Int) -> Int {
    dimensions[index < 0 ? dimensions.count + index : index]
  }

  public var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let dimensions = try container.decode([Int].self)
    guard let shape = Shape(validating: dimensions) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a shape: \(dimensions)")
    }
    self = shape
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(dimensions)
  }
}
