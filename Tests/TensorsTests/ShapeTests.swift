import Foundation
import Tensors
import Testing

@Suite("Shapes")
struct ShapeTests {
  @Test func countsAndDescription() {
    let shape: Shape = [2, 3, 5]
    #expect(shape.count == 30 && shape.rank == 3 && shape.dimensions == [2, 3, 5])
    #expect(shape.description == "[2, 3, 5]")
    #expect(Shape([]).count == 1 && Shape([]).rank == 0 && Shape([]).description == "[]")
    #expect(Shape([4, 0]).count == 0)
  }

  @Test func negativeIndicesCountFromTheLast() {
    let shape: Shape = [2, 3, 5]
    for index in 0..<3 { #expect(shape[index - 3] == shape[index] && shape[index] == [2, 3, 5][index]) }
  }

  @Test func shapesOfOneCountDiffer() {
    #expect(Set<Shape>([[6], [2, 3], [3, 2], [1, 6], [6]]).count == 4)
  }

  @Test(arguments: [
    [-1], [3, -2], [-3, -2], [0, -1], [.min], [.max, 2], [2, .max], [1 << 32, 1 << 32], [1 << 31, 1 << 31, 1 << 31],
  ])
  func impossibleSizesAreRefused(_ dimensions: [Int]) throws {
    #expect(Shape(validating: dimensions) == nil)
    let json = try JSONEncoder().encode(dimensions)
    #expect(throws: DecodingError.self) { try JSONDecoder().decode(Shape.self, from: json) }
  }

  @Test(arguments: [[], [7], [2, 0, 3], [.max], [1 << 31, 1 << 31], [0, .max, .max]])
  func possibleSizesRoundTrip(_ dimensions: [Int]) throws {
    let shape = try #require(Shape(validating: dimensions))
    #expect(shape.dimensions == dimensions && shape.count == dimensions.reduce(1) { $0 &* $1 })
    let json = try JSONEncoder().encode(shape)
    // A shape is written as a plain list.
    #expect(try JSONDecoder().decode([Int].self, from: json) == dimensions)
    #expect(try JSONDecoder().decode(Shape.self, from: json) == shape)
  }

  @Test(arguments: ["3", "{}", "null", #"["2"]"#, "[1.5]", "[9223372036854775808]", "[1"])
  func otherJSONIsRefused(_ json: String) {
    #expect(throws: DecodingError.self) { try JSONDecoder().decode(Shape.self, from: Data(json.utf8)) }
  }
}
