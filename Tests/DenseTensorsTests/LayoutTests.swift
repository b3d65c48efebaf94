import DenseTensors
import Tensors
import Testing

/// Passes that move elements and change none.
@Suite("Layouts")
struct LayoutTests {
  /// Every element is its own index, so that where it went shows.
  private static func indices(_ shape: Shape) -> DenseTensor<Float> {
    DenseTensor((0..<shape.count).map(Float.init), shape: shape)
  }

  static let pictures: [Shape] = [
    [1, 1, 1, 1], [2, 3, 5, 7], [3, 4, 1, 9], [1, 17, 8, 8], [2, 1, 3, 3], [0, 3, 2, 2],
  ]

  @Test(arguments: pictures) func channelsFirstAndLast(_ shape: Shape) {
    let first = Self.indices(shape)
    let last = first.channelsLast()
    let (batch, channels, height, width) = (shape[0], shape[1], shape[2], shape[3])
    #expect(last.shape == [batch, height, width, channels])
    for (index, element) in last.elements.enumerated() {
      let (pixel, channel) = (index / channels, index % channels)
      let (image, within) = (pixel / (height * width), pixel % (height * width))
      #expect(element == Float((image * channels + channel) * height * width + within))
    }
    #expect(last.channelsFirst() == first)
    #expect(first.channelsFirst().channelsLast() == first)
  }

  @Test(arguments: [(1, 1, 1), (2, 3, 5), (7, 1, 4), (5, 16, 17), (0, 2, 3)])
  func channelsAreConcatenatedAndSplit(_ rows: Int, _ left: Int, _ right: Int) {
    let (first, second) = (Self.indices([rows, left]), Self.indices([rows, right]))
    let both = first.concatenatingChannels(second)
    #expect(both.shape == [rows, left + right])
    var expected: [Float] = []
    for row in 0..<rows {
      expected += first.elements[row * left..<(row + 1) * left]
      expected += second.elements[row * right..<(row + 1) * right]
    }
    #expect(both.elements == expected)
    // Equal parts come apart again, and outer dimensions are rows.
    let thrice = first.concatenatingChannels(first).concatenatingChannels(first)
    #expect(thrice.splitColumns(3) == [first, first, first])
    #expect(both.splitColumns(1) == [both])
    let columns = both.splitColumns(left + right)
    #expect(columns.map(\.shape) == Array(repeating: [rows, 1], count: left + right))
    #expect(columns.dropFirst().reduce(columns[0]) { $0.concatenatingChannels($1) } == both)
    let picture = first.reshaped([1, rows, 1, left]).concatenatingChannels(second.reshaped([1, rows, 1, right]))
    #expect(picture == both.reshaped([1, rows, 1, left + right]))
  }

  @Test(arguments: [(3, 5), (7, 2), (4, 3), (1, 9), (8, 6), (2, 1), (13, 11)])
  func nearestNeighbours(_ height: Int, _ width: Int) {
    let tensor = Self.indices([2, 4, 3, 5])
    let resized = tensor.resizedNearest(height: height, width: width)
    #expect(resized.shape == [2, height, width, 5])
    for (index, element) in resized.elements.enumerated() {
      let (pixel, channel) = (index / 5, index % 5)
      let (image, y, x) = (pixel / width / height, pixel / width % height, pixel % width)
      // The nearest is floor(i from / to), exactly.
      let source = (image * 4 + y * 4 / height) * 3 + x * 3 / width
      #expect(element == Float(source * 5 + channel))
    }
    #expect(tensor.resizedNearest(height: 4, width: 3) == tensor)
    // Whole multiples undo themselves.
    #expect(tensor.resizedNearest(height: 8, width: 9).resizedNearest(height: 4, width: 3) == tensor)
  }

  @Test(arguments: [[3], [2, 5], [1, 2, 3, 4], [3, 0]] as [Shape]) func stacksComeApart(_ inner: Shape) {
    let tensors = (0..<4).map { image in
      DenseTensor<Float>((0..<inner.count).map { Float(100 * image + $0) }, shape: inner)
    }
    let stack = DenseTensor.stacking(tensors)
    #expect(stack.shape == Shape([4] + inner.dimensions))
    #expect(stack.elements == tensors.flatMap(\.elements))
    for (image, tensor) in tensors.enumerated() { #expect(stack[outer: image] == tensor) }
    #expect(DenseTensor.stacking([tensors[2]]) == tensors[2].reshaped(Shape([1] + inner.dimensions)))
  }

  @Test func reshapingSharesElementsButNotWrites() {
    let matrix = Self.indices([2, 6])
    var picture = matrix.reshaped([3, 4])
    #expect(picture.elements == matrix.elements && picture != matrix)
    picture.withUnsafeMutableBufferPointer { $0[5] = -1 }
    #expect(matrix == Self.indices([2, 6]) && picture.elements[5] == -1)
    #expect(picture.withUnsafeBufferPointer { Array($0) } == picture.elements)
  }

  #if !(os(macOS) && arch(x86_64))
    @Test func halvesRoundTrip() {
      var numbers = TestNumbers()
      let floats = DenseTensor(numbers.array(101).map { $0 * 1000 } + [70000, -70000, 65519], shape: [2, 52])
      let halves = DenseTensor<Float16>(floats)
      #expect(halves.shape == floats.shape && halves.elements == floats.elements.map { Float16($0) })
      #expect(halves.elements.suffix(3) == [.infinity, -.infinity, 65504])
      let widened = DenseTensor<Float>(halves)
      #expect(widened.elements == halves.elements.map { Float($0) })
      #expect(DenseTensor<Float16>(widened) == halves)
    }
  #endif
}
