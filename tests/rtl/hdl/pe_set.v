// One set of processing elements: AND a spike with a weight, shift it, accumulate with saturation.
//
// Every cycle with `enable`, PE j does  accumulator_j <= sat(accumulator_j + ((weight_j AND spike) << places)).
// `places` is the bit's place of a feature (Type A), 1 for two merged spikes (Type C), else 0.
`default_nettype none

module pe_set #(
    parameter PES = 128,
    parameter WEIGHT_BITS = 4,
    parameter ACC_BITS = 12,
    parameter PLACE_BITS = 3
) (
    input  wire                       clk,
    input  wire                       clear,
    input  wire                       enable,
    input  wire                       spike,
    input  wire [PLACE_BITS-1:0]      places,
    input  wire [PES*WEIGHT_BITS-1:0] row,
    output wire [PES*ACC_BITS-1:0]    accumulators,
    output wire [PES-1:0]             saturates      // in this cycle
);
    localparam ADDEND_BITS = WEIGHT_BITS + (1 << PLACE_BITS) - 1;
    localparam WIDE = (ADDEND_BITS > ACC_BITS ? ADDEND_BITS : ACC_BITS) + 1;
    localparam signed [ACC_BITS-1:0] HIGH = {1'b0, {(ACC_BITS - 1){1'b1}}};
    localparam signed [ACC_BITS-1:0] LOW = {1'b1, {(ACC_BITS - 1){1'b0}}};

    genvar j;
    generate
        for (j = 0; j < PES; j = j + 1) begin : pe
            reg  signed [ACC_BITS-1:0] accumulator;
            wire signed [WEIGHT_BITS-1:0] gated = row[j*WEIGHT_BITS+:WEIGHT_BITS] & {WEIGHT_BITS{spike}};
            wire signed [WIDE-1:0] total = accumulator + (gated <<< places);
            wire over = total > HIGH;
            wire under = total < LOW;

            always @(posedge clk)
                if (clear) accumulator <= 0;
                else if (enable) accumulator <= over ? HIGH : under ? LOW : total[ACC_BITS-1:0];

            assign accumulators[j*ACC_BITS+:ACC_BITS] = accumulator;
            assign saturates[j] = enable & (over | under);
        end
    endgenerate
endmodule

`default_nettype wire
