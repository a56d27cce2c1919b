// Type A bench: frames of features through bit_skip into SETS PE sets. Prints, per frame, the steps, the rows read,
// the saturated additions, and every accumulator.
`default_nettype none

module tb_bits;
    parameter FRAMES = 1, INPUTS = 40, PES = 16, SETS = 2, GROUP_BITS = 4, ACC_BITS = 12, SKIP = 1;
    localparam W = 4, PLACE_BITS = 3, BITS = SETS * GROUP_BITS;

    reg clk = 0;
    always #1 clk = ~clk;

    reg [PES*W-1:0] weights[0:INPUTS-1];
    reg [INPUTS*BITS-1:0] frames[0:FRAMES-1];
    reg load = 0;
    reg [INPUTS*BITS-1:0] features;
    wire valid;
    wire [7:0] feature;
    wire [SETS-1:0] ones;
    wire [SETS*PLACE_BITS-1:0] places;
    wire [SETS*PES*ACC_BITS-1:0] accumulators;
    wire [SETS*PES-1:0] saturates;
    integer t, g, j, n, steps, rows, saturations, last;

    bit_skip #(INPUTS, SETS, GROUP_BITS, 8, PLACE_BITS) walk(
        clk, load, SKIP == 1, features, valid, feature, ones, places);

    genvar k;
    generate
        for (k = 0; k < SETS; k = k + 1) begin : set
            pe_set #(PES, W, ACC_BITS, PLACE_BITS) pes(
                clk, load, valid, ones[k], places[k*PLACE_BITS+:PLACE_BITS], weights[feature],
                accumulators[k*PES*ACC_BITS+:PES*ACC_BITS], saturates[k*PES+:PES]);
        end
    endgenerate

    initial begin
        $readmemh("weights.hex", weights);
        $readmemh("features.hex", frames);
        for (t = 0; t < FRAMES; t = t + 1) begin
            @(negedge clk) load = 1;
            features = frames[t];
            @(negedge clk) load = 0;
            steps = 0;
            rows = 0;
            saturations = 0;
            last = -1;
            #0;
            while (valid) begin
                steps = steps + 1;
                if (feature != last) rows = rows + 1;
                last = feature;
                for (n = 0; n < SETS * PES; n = n + 1) saturations = saturations + saturates[n];
                @(negedge clk) #0;
            end
            $write("%0d %0d %0d", steps, rows, saturations);
            for (g = 0; g < SETS; g = g + 1)
                for (j = 0; j < PES; j = j + 1)
                    $write(" %0d", $signed(accumulators[(g*PES+j)*ACC_BITS+:ACC_BITS]));
            $write("\n");
        end
        $finish;
    end
endmodule

`default_nettype wire
