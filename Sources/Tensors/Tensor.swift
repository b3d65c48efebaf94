/// What a type must do to be sampled with: be combined linearly, hold noise, and report its size.
///
/// A state is one image; batching belongs to the model. `[Double]` conforms through ``DoubleTensor``, Fewstep's own
/// arrays through `DenseTensor`; any other array type conforms with these few members.
public protocol Tensor: Sendable {
  var shape: Shape { get }

  /// A tensor of zeros.
  init(zeros shape: Shape)

  /// Becomes Σ cᵢ xᵢ + Σ cⱼ zⱼ in one pass over memory; the old value counts only where it is one of the xᵢ.
  ///
  /// - Precondition: every xᵢ has this tensor's shape.
  mutating func assign(_ combination: LinearCombination<Self>)

  /// Becomes `carry` times itself plus Σ cᵢ xᵢ, and returns the inner product of Σ cᵢ xᵢ with itself: errors of steps
  /// are summed up and measured in one pass. Its rounding may be that of single precision.
  ///
  /// - Precondition: every xᵢ has this tensor's shape and is another tensor; there is no noise.
  mutating func accumulate(_ combination: LinearCombination<Self>, carry: Double) -> Double

  /// Limits every element to `bounds`.
  mutating func clamp(to bounds: ClosedRange<Double>)

  /// Σ xᵢ yᵢ, summed in double precision or better.
  ///
  /// - Precondition: the shapes are equal.
  func innerProduct(_ other: Self) -> Double

  /// Σ xᵢ, summed in double precision or better.
  func sum() -> Double

  /// The magnitude below which the share `q` of the elements' magnitudes lies, interpolated linearly between the two
  /// nearest of them; 0 for an empty tensor. A ``DoubleTensor`` of the elements knows it.
  ///
  /// - Precondition: q lies in 0...1.
  func magnitudeQuantile(_ q: Double) -> Double
}

extension Tensor {
  public mutating func accumulate(_ combination: LinearCombination<Self>, carry: Double) -> Double {
    var sum = Self(zeros: shape)
    sum.assign(combination)
    assign(LinearCombination([.init(carry, self), .init(1, sum)]))
    return sum.innerProduct(sum)
  }

  /// Standard normal noise of the given shape.
  public init(noise field: NoiseField, shape: Shape) {
    self.init(zeros: shape)
    assign(LinearCombination([], noises: [.init(1, field)]))
  }

  /// The combination as a new tensor of the shape of its first term.
  ///
  /// - Precondition: there is a term.
  public static func combining(_ terms: (Double, Self)...) -> Self {
    var result = Self(zeros: terms[0].1.shape)
    result.assign(LinearCombination(terms.map { .init($0.0, $0.1) }))
    return result
  }

  /// The square root of the sum of the squared elements.
  public func norm() -> Double { innerProduct(self).squareRoot() }

  /// The square root of the mean of the squared elements; 0 for an empty tensor.
  public func rootMeanSquare() -> Double {
    shape.count == 0 ? 0 : (innerProduct(self) / Double(shape.count)).squareRoot()
  }

  /// The mean of the elements; 0 for an empty tensor.
  public func mean() -> Double { shape.count == 0 ? 0 : sum() / Double(shape.count) }

  /// The standard deviation of the elements, of a sample of them (divided by count - 1); 0 for fewer than two.
  public func standardDeviation() -> Double {
    guard shape.count > 1 else { return 0 }
    let mean = mean()
    let squares = innerProduct(self) - Double(shape.count) * mean * mean
    return (max(squares, 0) / Double(shape.count - 1)).squareRoot()
  }

  /// The root mean square of `self - other` relative to that of `other`.
  public func relativeError(to other: Self) -> Double {
    Self.combining((1, self), (-1, other)).rootMeanSquare() / other.rootMeanSquare()
  }
}

/// The `q` quantile of values in any order, interpolated linearly between the two nearest; 0 for none.
package func quantile(_ q: Double, of values: [Double]) -> Double {
  precondition((0...1).contains(q), "quantile \(q)")
  guard !values.isEmpty else { return 0 }
  let sorted = values.sorted()
  let position = q * Double(sorted.count - 1)
  let index = min(Int(position), sorted.count - 1)
  let next = min(index + 1, sorted.count - 1)
  return sorted[index] + (position - Double(index)) * (sorted[next] - sorted[index])
}
