// One leaky integrate-and-fire neuron: leak, add, saturate, compare, reset.
//
// Every cycle with `enable`:  u = sat(((beta * membrane) >>> BETA_BITS) + current + recurrent shifted by REC_SHIFT)
//                             spike = u >= threshold;  membrane <= spike ? (subtract ? u - threshold : 0) : u
`default_nettype none

module lif_unit #(
    parameter MEMBRANE_BITS = 16,
    parameter INPUT_BITS = 20,
    parameter BETA_BITS = 8,
    parameter integer REC_SHIFT = 0   // left, or arithmetically right where negative
) (
    input  wire                            clk,
    input  wire                            clear,
    input  wire                            enable,
    input  wire                            subtract,
    input  wire        [BETA_BITS:0]       beta,
    input  wire signed [MEMBRANE_BITS-1:0] threshold,
    input  wire signed [INPUT_BITS-1:0]    current,
    input  wire signed [INPUT_BITS-1:0]    recurrent,
    output reg  signed [MEMBRANE_BITS-1:0] membrane,
    output wire                            spike,
    output wire                            saturates
);
    localparam LEFT = REC_SHIFT > 0 ? REC_SHIFT : 0;
    localparam RIGHT = REC_SHIFT < 0 ? -REC_SHIFT : 0;
    localparam PRODUCT_BITS = MEMBRANE_BITS + BETA_BITS + 2;
    localparam SUM_BITS = (MEMBRANE_BITS > INPUT_BITS + LEFT ? MEMBRANE_BITS : INPUT_BITS + LEFT) + 2;
    localparam signed [MEMBRANE_BITS-1:0] HIGH = {1'b0, {(MEMBRANE_BITS - 1){1'b1}}};
    localparam signed [MEMBRANE_BITS-1:0] LOW = {1'b1, {(MEMBRANE_BITS - 1){1'b0}}};

    wire signed [BETA_BITS+1:0] leak = {1'b0, beta};
    wire signed [PRODUCT_BITS-1:0] product = membrane * leak;
    wire signed [PRODUCT_BITS-1:0] kept = product >>> BETA_BITS;
    wire signed [INPUT_BITS+LEFT-1:0] widened = recurrent;
    wire signed [INPUT_BITS+LEFT-1:0] shifted = (widened <<< LEFT) >>> RIGHT;
    wire signed [SUM_BITS-1:0] total = $signed(kept[MEMBRANE_BITS-1:0]) + current + shifted;
    wire over = total > HIGH;
    wire under = total < LOW;
    wire signed [MEMBRANE_BITS-1:0] potential = over ? HIGH : under ? LOW : total[MEMBRANE_BITS-1:0];

    assign spike = potential >= threshold;
    assign saturates = enable & (over | under);

    always @(posedge clk)
        if (clear) membrane <= 0;
        else if (enable) membrane <= !spike ? potential : subtract ? potential - threshold : 0;
endmodule

`default_nettype wire
