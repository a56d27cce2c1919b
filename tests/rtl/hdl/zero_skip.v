// The two zero-skip walks. `load` takes the inputs in; from the next cycle on `valid` marks one step per cycle.
`default_nettype none

// Types B, C and D: walk the active inputs of a bank, lowest first, one row per cycle.
// Without `skip` every row that is `present` is walked (broadcast, Type D).
module zero_skip #(
    parameter WIDTH = 64,
    parameter INDEX_BITS = 8
) (
    input  wire                  clk,
    input  wire                  load,
    input  wire                  skip,
    input  wire [WIDTH-1:0]      active,
    input  wire [WIDTH-1:0]      present,
    output wire                  valid,
    output reg  [INDEX_BITS-1:0] row
);
    reg [WIDTH-1:0] pending;
    integer i;

    assign valid = |pending;

    always @* begin
        row = 0;
        for (i = WIDTH - 1; i >= 0; i = i - 1) if (pending[i]) row = i;
    end

    always @(posedge clk) pending <= load ? (skip ? active : present) : pending & (pending - 1'b1);
endmodule

// Type A: walk the set bits of unsigned features, lowest feature first. SETS groups of GROUP_BITS bits of the same
// feature go side by side, each its lowest set bit first. Without `skip` every bit is walked.
module bit_skip #(
    parameter INPUTS = 40,
    parameter SETS = 2,
    parameter GROUP_BITS = 4,
    parameter INDEX_BITS = 8,
    parameter PLACE_BITS = 3
) (
    input  wire                              clk,
    input  wire                              load,
    input  wire                              skip,
    input  wire [INPUTS*SETS*GROUP_BITS-1:0] features,
    output wire                              valid,
    output reg  [INDEX_BITS-1:0]             feature,
    output reg  [SETS-1:0]                   ones,      // per group: add in this cycle
    output reg  [SETS*PLACE_BITS-1:0]        places
);
    localparam BITS = SETS * GROUP_BITS;
    reg [INPUTS*BITS-1:0] pending, data, done;
    integer i, g, b;

    assign valid = |pending;

    always @* begin
        feature = 0;
        ones = 0;
        places = 0;
        done = 0;
        for (i = INPUTS - 1; i >= 0; i = i - 1) if (|pending[i*BITS+:BITS]) feature = i;
        for (g = 0; g < SETS; g = g + 1)
            for (b = GROUP_BITS - 1; b >= 0; b = b - 1)
                if (pending[feature*BITS+g*GROUP_BITS+b]) begin
                    ones[g] = data[feature*BITS+g*GROUP_BITS+b];
                    places[g*PLACE_BITS+:PLACE_BITS] = b;
                end
        for (g = 0; g < SETS; g = g + 1)
            if (|pending[feature*BITS+g*GROUP_BITS+:GROUP_BITS])
                done[feature*BITS+g*GROUP_BITS+places[g*PLACE_BITS+:PLACE_BITS]] = 1'b1;
    end

    always @(posedge clk)
        if (load) begin
            data <= features;
            pending <= skip ? features : {INPUTS * BITS{1'b1}};
        end else pending <= pending & ~done;
endmodule

`default_nettype wire
