import Foundation
import Tensors
import Testing

@Suite("Shapes and the reference tensor")
struct ShapeTests {
  @Test func countsAndIndices() {
    let shape: Shape = [2, 3, 5]
    #expect(shape.count == 30 && shape.rank == 3 && shape[0] == 2 && shape[-1] == 5)
    #expect(Shape([]).count == 1 && Shape([4, 0]).count == 0)
    #expect(shape.description == "[2, 3, 5]")
  }

  @Test(arguments: [[-1], [3, -2], [Int.max, 2], [1 << 32, 1 << 32], [0, Int.max, Int.max]])
  func impossibleSizesAreRefused(_ dimensions: [Int]) throws {
    // 0 times anything is 0, in whatever order.
    let isEmpty = dimensions.first == 0
    #expect((Shape(validating: dimensions) == nil) == !isEmpty)
    let json = try JSONEncoder().encode(dimensions)
    if isEmpty {
      #expect(try JSONDecoder().decode(Shape.self, from: json).count == 0)
    } else {
      #expect(throws: DecodingError.self) { try JSONDecoder().decode(Shape.self, from: json) }
    }
  }

  @Test func codableRoundTrip() throws {
    for shape in [Shape([]), [7], [2, 0, 3]] {
      #expect(try JSONDecoder().decode(Shape.self, from: JSONEncoder().encode(shape)) == shape)
    }
  }

  @Test func combinationsAreLinear() {
    let (x, y) = (DoubleTensor([1, -2, 3]), DoubleTensor([0.5, 4, -1]))
    #expect(DoubleTensor.combining((2, x), (-3, y)) == DoubleTensor([0.5, -16, 9]))
    // The target can be one of the operands.
    var z = x
    z.assign(.init([.init(1, z), .init(1, z)]))
    #expect(z == DoubleTensor([2, -4, 6]) && x == DoubleTensor([1, -2, 3]))
    let field = NoiseField(seed: 3)
    let noise = DoubleTensor(noise: field, shape: [3])
    var sum = DoubleTensor(zeros: [3])
    sum.assign(.init([.init(2, x)], noise: .init(0.5, field)))
    #expect(sum == DoubleTensor.combining((2, x), (0.5, noise)))
  }

  @Test func clampAndNorm() {
    var x = DoubleTensor([3, -4])
    #expect(x.rootMeanSquare() == 12.5.squareRoot())
    x.clamp(to: -2...2)
    #expect(x == DoubleTensor([2, -2]))
    #expect(DoubleTensor(zeros: [0]).rootMeanSquare() == 0)
  }
}
