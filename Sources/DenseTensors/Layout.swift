import Tensors

extension DenseTensor {
  /// `[batch, channels, height, width]`, diffusers' order, as `[batch, height, width, channels]`.
  public func channelsLast() -> DenseTensor {
    transposed(batch: shape[0], rows: shape[1], columns: shape[2] * shape[3])
      .reshaped([shape[0], shape[2], shape[3], shape[1]])
  }

  /// `[batch, height, width, channels]` as `[batch, channels, height, width]`, diffusers' order.
  public func channelsFirst() -> DenseTensor {
    transposed(batch: shape[0], rows: shape[1] * shape[2], columns: shape[3])
      .reshaped([shape[0], shape[3], shape[1], shape[2]])
  }

  private func transposed(batch: Int, rows: Int, columns: Int) -> DenseTensor {
    let result = DenseTensor(uninitialized: shape)
    let (input, output) = (storage.elements, result.storage.elements)
    for offset in Swift.stride(from: 0, to: batch * rows * columns, by: max(rows * columns, 1)) {
      for row in 0..<rows {
        for column in 0..<columns {
          output[offset + column * rows + row] = input[offset + row * columns + column]
        }
      }
    }
    return result
  }
}

extension DenseTensor {
  /// `[rows, columns]` cut into `parts` of equally many columns.
  ///
  /// - Precondition: the columns are a multiple of the parts.
  public func splitColumns(_ parts: Int) -> [DenseTensor] {
    let (rows, width) = (shape[0], shape[1] / parts)
    precondition(shape.rank == 2 && width * parts == shape[1], "\(shape) into \(parts) parts")
    return (0..<parts).map { part in
      let result = DenseTensor(uninitialized: [rows, width])
      for row in 0..<rows {
        let source = storage.elements[row * shape[1] + part * width..<row * shape[1] + (part + 1) * width]
        for (column, value) in source.enumerated() { result.storage.elements[row * width + column] = value }
      }
      return result
    }
  }
}
